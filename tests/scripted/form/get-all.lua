return {false, 'all of ' .. ARGV[1]}
