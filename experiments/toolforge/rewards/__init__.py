"""Rewards on ToolForge."""
