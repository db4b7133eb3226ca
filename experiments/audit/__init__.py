"""Does the audit find what is wrong with an environment, and nothing where nothing is?"""
