make_cli_trace long 2000 t.mst && damage t.mst 1500
msdump --verify --format=jsonl t.mst >out
echo $?
python3 -c '
import json
v = json.load(open("out"))
print(v["sound"], v["events"], v["lost_events"], len(v["damage"]), v["damage"][0]["first_event"], v["damage"][0]["events"])'
