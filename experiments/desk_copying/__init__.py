"""When does a tiny policy learn to copy a value of the request into a search?"""
