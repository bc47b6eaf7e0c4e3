"""`python -m grokscope` is the command line.

Python puts the current folder before everything else for `-m`: in a folder that was downloaded, whatever lies
there under the name of a module would be executed. So it is taken away again, as `python -P` does.
"""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
        del sys.path[0]
    from grokscope.cli import main

    main()
