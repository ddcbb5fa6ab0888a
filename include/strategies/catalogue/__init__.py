"""The strategies that can be tested: one file each, named as the strategy; see `include.strategies.registry`."""
