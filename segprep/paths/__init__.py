"""Where bytes are: files of this machine and objects in buckets; listing, atomic writes, locks."""
