"""What a user can ask for, one file per verb (preprocess, check, verify, repair, resplit), and their stages."""
