msrecord --keep-last=soon true; echo $?; msrecord --keep-last= true; echo $?; ls
