"""The passes: over modules (before capture) and over graphs (after it)."""
