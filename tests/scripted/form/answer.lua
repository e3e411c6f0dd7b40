-- Answers in the shape that is asked for.
local shapes = {
  none = {false},
  empty = {},
  one = {false, 'a'},
  several = {false, 'a', 2, {'b', false}},
  refused = {'Not now', 'later', 5},
  number = {7},
  zero = {0, 'a'},
  blank = {'', 'a'},
  text = 'a',
  integer = 3,
  inner = {false, {err = 'INNER broken'}},
  binary = {false, '\255\0a'},
}
return shapes[ARGV[2]]
