msrecord --max-size=1000 true; echo $?; msrecord --keep-last=500K true; echo $?; msrecord --keep-last=10ms true; echo $?; ls
