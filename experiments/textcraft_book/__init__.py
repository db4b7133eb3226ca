"""What limits a tiny policy on the recipes of Minecraft: goals, or names?"""
