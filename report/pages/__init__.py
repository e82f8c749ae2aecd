"""The pages: a module for each kind, with a function that reads tables and gives pages."""
