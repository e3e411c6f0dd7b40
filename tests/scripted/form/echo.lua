-- Answers with all that it got.
return {false, unpack(ARGV)}
