"""Does cloning under injected errors make a tiny policy recover more often?"""
