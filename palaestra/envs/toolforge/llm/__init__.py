"""The stages of the builder that asks a language model, `palaestra.envs.toolforge.llm_build`.

`asking` asks for one JSON object until it passes or the item is dropped, and keeps the record; `replies` are the forms of what
comes back, `prompts.toml` asks for them; `rules` are the checks that need no model, `screen` reads a source without running
it, `trial` runs it in the sandbox.
"""
