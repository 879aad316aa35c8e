msdump --help && msdump --print-man | grep -c . >/dev/null
