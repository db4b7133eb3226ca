"""The stages of the procedural builder, `palaestra.envs.toolforge.build`.

Read them in the paper's order: `decompose` (what is asked) with `question` (in words, and read back), `document` (a tool for
each part), `integrate` (equal ones merged), `scale` (four levels of complexity, distractors), `deploy` (tables). `checks`
proves the result. What the worlds know stands in `catalogue.toml`, what tools can be asked in addition in `options.toml`.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1; there a language model does each stage.
"""
