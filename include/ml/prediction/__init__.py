"""Answers the question what a price will be over the next hours."""
