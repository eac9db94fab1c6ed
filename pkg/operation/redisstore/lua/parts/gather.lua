-- A script that accepts many operations reads what they share once, and writes it once,
-- by write_down. A record is written after all that names it, as with a single one.
local function gather()
  local lanes, order, sizes = {}, {}, {} -- lanes by connection, and how many are in a set
  local sets, lists = {}, {}
  gathered = {
    records = {}, order = order, sets = sets, lists = lists,
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
    push = function(key, entry)
      local all = lists[key] or {}
      lists[key] = all
      all[#all + 1] = entry
    end,
  }
end

local function write_down()
  local g = gathered
  gathered = nil
  for key, all in pairs(g.lists) do
    if call('RPUSH', key, unpack(all)) == #all then call('EXPIRE', key, INDEX_LIFE) end
  end
  for key, all in pairs(g.sets) do call('ZADD', key, unpack(all)) end
  for _, o in ipairs(g.records) do save(o) end
  for _, l in ipairs(g.order) do leave(l) end
end
