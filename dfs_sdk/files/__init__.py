"""Files: cut, sealed, spread and found again; links, shares, the catalog and the transfers that move them.

`chunker`, `seal`, `manifest`, `link`, `names` and `health` are pure; `upload`, `download` and `reader` move one file;
`service.Files` is what a node offers.
"""
