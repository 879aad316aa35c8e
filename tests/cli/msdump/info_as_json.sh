make_cli_trace hostile t.mst && msdump --info --format=json t.mst | python3 -c '
import json, os, sys
i = json.load(sys.stdin)
print(i["bytes"] == os.path.getsize("t.mst"), i["bytes"] == sum(k["stored_bytes"] for k in i["kinds"]))
print(i["frames"] == sum(k["frames"] for k in i["kinds"]), [k["kind"] for k in i["kinds"]])
print({k: i[k] for k in i if k not in ("bytes", "kinds", "bytes_per_event", "compression")})'
