return string.upper(ARGV[1])
