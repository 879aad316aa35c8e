msrecord "$(printf 'a\033]0;title\007\nb\xff')"; echo $?
