make_cli_trace hostile t.mst && msanalyze leaks --format=csv t.mst | python3 -c '
import csv, sys
for row in csv.reader(open(sys.stdin.fileno(), newline="")):
    print(len(row), row[-1].split("\n")[0])'
