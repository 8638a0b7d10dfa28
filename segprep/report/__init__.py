"""Reports: a page of HTML, or a PNG of one mask, from a store or from a data set."""
