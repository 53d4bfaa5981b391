"""`python -m dfs_sdk.cli`: the command line where `dfs` is not on the path."""

from dfs_sdk.cli import main

if __name__ == "__main__":
    main(prog_name="dfs")
