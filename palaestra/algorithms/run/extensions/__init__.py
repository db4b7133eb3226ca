"""The extensions that come with Palaestra, one a file; what an extension is stands in `run/extension.py`."""
