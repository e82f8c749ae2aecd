"""What the verdicts on drift are worth, by simulation: ``python -m simulations``."""
