"""One folder a claim: how it was run, its rows, and the page that they give."""
