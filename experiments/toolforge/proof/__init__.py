"""The proof of ToolForge."""
