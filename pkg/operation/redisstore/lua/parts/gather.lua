-- A script that accepts many operations reads what they share once, and writes it once,
-- by write_down. A record is written after all that names it, as with a single one.
local function gather()
  local lanes, order, sizes = {}, {}, {} -- lanes by connection, and how many are in a set
  local sets, lists, lives = {}, {}, {}
  gathered = {
    newest = {}, counts = {}, records = {}, order = order, sets = sets, lists = lists, lives = lives,
    lane = function(c)
      if not lanes[c] then
        lanes[c] = lane(c)
        order[#order + 1] = lanes[c]
      end
      return lanes[c]
    end,
    size = function(key)
      if not sizes[key] then sizes[key] = call('ZCARD', key) end
      return sizes[key]
    end,
    add = function(key, score, member)
      local all = sets[key] or {}
      sets[key] = all
      all[#all + 1], all[#all + 2] = score, member
      if sizes[key] then sizes[key] = sizes[key] + 1 end
    end,
    push = function(key, entry, life)
      local all = lists[key] or {}
      lists[key] = all
      all[#all + 1] = entry
      lives[key] = life or lives[key]
    end,
  }
end

local function write_down()
  local g = gathered
  gathered = nil
  for key, all in pairs(g.lists) do call('RPUSH', key, unpack(all)) end
  for key, life in pairs(g.lives) do call('EXPIRE', key, life) end
  for key, all in pairs(g.sets) do call('ZADD', key, unpack(all)) end
  for partner, by in pairs(g.counts) do count(partner, by) end
  for _, o in ipairs(g.records) do save(o) end
  for _, l in ipairs(g.order) do leave(l) end
end
