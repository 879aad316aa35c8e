make_cli_trace hostile t.mst && msanalyze leaks --format=json t.mst >t.json
LC_ALL=C grep -c '[^ -~]' t.json
python3 -c '
import json
print([s["frames"][0]["function"] for s in json.load(open("t.json"))["sites"]])'
