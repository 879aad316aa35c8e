make_cli_trace hostile t.mst && msdump --stacks t.mst >t.jsonl && tail -1 t.jsonl
# nothing but printable ASCII, one object a line, and the bytes can be had back
LC_ALL=C grep -c '[^ -~]' t.jsonl
python3 -c '
import json
def original(s):
    return b"".join(bytes([ord(c) & 0xff]) if 0xef80 <= ord(c) <= 0xefff else c.encode() for c in s)
for line in open("t.jsonl"):
    print(original(json.loads(line)["frames"][0]["function"] or "-"))'
