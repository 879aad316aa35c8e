# what jq and its like see: every line an object, sums as make_cli_trace wrote them
make_cli_trace long 2000 t.mst && msdump t.mst | python3 -c '
import json, sys
events = [json.loads(line) for line in sys.stdin]
print(len(events), [e["event"] for e in events] == list(range(len(events))))
print(sum(e["size"] for e in events if e["op"] == "malloc"), sum(e["size"] for e in events if e["op"] == "free"))
live = {}
for e in events:
    if e["op"] == "malloc":
        assert e["addr"] not in live
        live[e["addr"]] = e["alloc"]
    else:
        assert live.pop(e["addr"]) == e["alloc"]
print(len(live))'
