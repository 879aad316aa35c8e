make_cli_trace long 2000 t.mst && msanalyze summary t.mst | python3 -c '
import re, sys
text = sys.stdin.read()
print(re.search(r"alloc\w*\W+([\d,]+)", text).group(1), re.search(r"free\w*\W+([\d,]+)", text).group(1))'
