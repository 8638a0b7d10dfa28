"""Runs that a user can start, one file per verb (preprocess, check, verify, repair, resplit), and their stages."""
