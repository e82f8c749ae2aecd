"""Mutation testing of the mathematics: which changes of a line fail no test."""
