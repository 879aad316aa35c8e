msrecord --keep-last=30s -o - true | cat; echo ${PIPESTATUS[0]}; mkfifo pipe; msrecord -f --keep-last=30s -o pipe true & exec 3<pipe; wait $!; echo $?; ls
