"""What a build costs, and how to measure it again."""
