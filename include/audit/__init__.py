"""Who did what, when, and how it ended: one row per try of every task, and a letter per run that failed for good."""
