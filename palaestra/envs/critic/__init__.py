"""CriticTool: does a model see that a tool call was wrong or failed, say why, and do what follows?

`published` is the published scorer, bug for bug. `documents` reads tools, `similarity` compares texts, `blocks` holds what a
model is told.
"""
