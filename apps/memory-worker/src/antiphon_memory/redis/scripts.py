"""What the store asks of a Redis server, each in one step, as scripts that run there.

All keys begin with `ROOT`, whose braces keep them on one server of a cluster:

- `session:ID` is a hash, `turns:ID` the list of its messages, oldest first.
- `ends` and `of:CONVERSATION` order sessions by their ends. A member is NUMBER:ID:CONVERSATION;
  numbers count sessions, so that of two that end together the later comes first.
- `expiries` holds when sessions are forgotten, in ms. Redis forgets those keys by itself; what
  orders them is put right by the next script.
- `seen:MESSAGE` is what a write was answered, `seq` the newest number.
"""

from __future__ import annotations

ROOT = "antiphon:{conversations}:"

_BEGIN = """
local root = KEYS[1]
local ends, expiries = root .. 'ends', root .. 'expiries'
local function key(kind, name) return root .. kind .. ':' .. name end
local function id_of(member) return string.match(member, '^%d+:([^:]+)') end
local function drop(member)
    local id, conversation = string.match(member, '^%d+:([^:]+):(.*)$')
    redis.call('DEL', key('session', id), key('turns', id))
    redis.call('ZREM', key('of', conversation), member)
    redis.call('ZREM', ends, member)
    redis.call('ZREM', expiries, member)
end
local function session(id)
    return redis.call('HMGET', key('session', id), 'id', 'conversation', 'site_id', 'begin', 'end',
        'count', 'first_words', 'summary', 'covered')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = redis.call('ZRANGEBYSCORE', expiries, '-inf', string.format('%.0f', now))
for _, member in ipairs(over) do drop(member) end
"""

APPEND = (
    _BEGIN
    + """
local message, conversation, site, ts, turn = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ended_before, begun_before = tonumber(ARGV[6]), tonumber(ARGV[7])
local new_id, first_words, kept_ms, seen_ms = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
if not redis.call('SET', key('seen', message), '[]', 'NX', 'PX', seen_ms) then return 0 end
local of = key('of', conversation)
local member, id, finish = redis.call('ZREVRANGE', of, 0, 0)[1], nil, nil
if member then
    id = id_of(member)
    local known = redis.call('HMGET', key('session', id), 'begin', 'end', 'count')
    finish = known[2]
    -- A server that is full may have thrown parts of it away.
    if not known[1] or tonumber(finish) < ended_before or tonumber(known[1]) < begun_before
            or redis.call('LLEN', key('turns', id)) ~= tonumber(known[3]) then
        member = nil
    end
end
if not member then
    id, finish = new_id, ts
    member = string.format('%016d', redis.call('INCR', root .. 'seq')) .. ':' .. id .. ':'
        .. conversation
    redis.call('HSET', key('session', id), 'id', id, 'member', member, 'conversation', conversation,
        'site_id', site, 'begin', ts, 'count', '0', 'first_words', first_words, 'summary', '',
        'covered', '0')
end
if tonumber(ts) > tonumber(finish) then finish = ts end
redis.call('HSET', key('session', id), 'end', finish)
redis.call('HINCRBY', key('session', id), 'count', 1)
redis.call('RPUSH', key('turns', id), turn)
redis.call('ZADD', of, finish, member)
redis.call('ZADD', ends, finish, member)
local forgotten = string.format('%.0f', now + tonumber(kept_ms))
redis.call('ZADD', expiries, forgotten, member)
redis.call('PEXPIREAT', key('session', id), forgotten)
redis.call('PEXPIREAT', key('turns', id), forgotten)
for _, shared in ipairs({of, ends, expiries, root .. 'seq'}) do
    if redis.call('PTTL', shared) < tonumber(kept_ms) then
        redis.call('PEXPIREAT', shared, forgotten)
    end
end
return 1
"""
)
"""Returns whether the message was new."""

RECENT = (
    _BEGIN
    + """
local member = redis.call('ZREVRANGE', key('of', ARGV[1]), 0, 0)[1]
if not member then return {} end
local found = session(id_of(member))
if not found[1] or tonumber(found[5]) < tonumber(ARGV[2]) then return {} end
local first = math.max(tonumber(found[9]), tonumber(found[6]) - tonumber(ARGV[3]))
return {found, redis.call('LRANGE', key('turns', found[1]), first, -1)}
"""
)
"""Returns a session and its newest messages, oldest first, or nothing."""

SESSIONS = (
    _BEGIN
    + """
local order = ends
if ARGV[1] == '1' then order = key('of', ARGV[2]) end
local last = tonumber(ARGV[3]) + tonumber(ARGV[4]) - 1
local page = {}
if ARGV[4] == '0' then return page end
for _, member in ipairs(redis.call('ZREVRANGE', order, ARGV[3], last)) do
    local found = session(id_of(member))
    if found[1] then page[#page + 1] = found end
end
return page
"""
)
"""Returns sessions, the last to end first."""

MEMBERS = (
    _BEGIN
    + """
local order = ends
if ARGV[1] == '1' then order = key('of', ARGV[2]) end
return redis.call('ZREVRANGE', order, 0, -1, 'WITHSCORES')
"""
)
"""Returns members and ends in turn, the last to end first."""

TURNS = (
    _BEGIN
    + """
local page = {}
local last = tonumber(ARGV[1]) + tonumber(ARGV[2]) - 1
for place = 3, #ARGV do
    local found, turns = session(ARGV[place]), {}
    if found[1] then
        if ARGV[2] ~= '0' then
            turns = redis.call('LRANGE', key('turns', ARGV[place]), ARGV[1], last)
        end
        page[#page + 1] = {found, turns}
    end
end
return page
"""
)
"""Returns sessions, each with a page of its messages, oldest first."""

SUMMARISE = (
    _BEGIN
    + """
local found = session(ARGV[1])
local covered = tonumber(ARGV[3])
if not found[1] or tonumber(found[9]) >= covered or tonumber(found[6]) < covered then return 0 end
redis.call('HSET', key('session', ARGV[1]), 'summary', ARGV[2], 'covered', ARGV[3])
return 1
"""
)
"""Returns whether the session has it now."""

DELETE = (
    _BEGIN
    + """
local known = redis.call('GET', key('seen', ARGV[1]))
if known then return known end
local deleted = {}
for place = 3, #ARGV do
    local member = redis.call('HGET', key('session', ARGV[place]), 'member')
    if member then
        drop(member)
        deleted[#deleted + 1] = ARGV[place]
    end
end
local reply = '[]'
if #deleted > 0 then reply = cjson.encode(deleted) end
redis.call('SET', key('seen', ARGV[1]), reply, 'PX', ARGV[2])
return reply
"""
)
"""Returns the ids that were there, as JSON."""

PRUNE = (
    _BEGIN
    + """
local old = redis.call('ZRANGEBYSCORE', ends, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(old) do drop(member) end
return #old
"""
)
"""Returns how many sessions were deleted."""
