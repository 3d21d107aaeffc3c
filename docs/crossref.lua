-- A pandoc filter for the parts of Quarto's Markdown that pandoc lacks: numbers for labelled equations, figures and tables,
-- `@eq-x` that refers to them, and callouts. What cannot be resolved is left as a span of class `unresolved`.

local NAMES = { eq = "Equation", fig = "Figure", tbl = "Table", sec = "Section" }
local counts, targets = {}, {}

local function kind(id) local k = id:match("^(%a+)%-"); return NAMES[k] and k end

local function number(id)
  local k = kind(id)
  counts[k] = (counts[k] or 0) + 1
  targets[id] = { name = NAMES[k], text = tostring(counts[k]) }
  return targets[id].text
end

-- `$$ … $$ {#eq-x}`
local function equations(inlines)
  local out, i = pandoc.Inlines {}, 1
  while i <= #inlines do
    local math, at = inlines[i], i + 1
    while inlines[at] and (inlines[at].t == "Space" or inlines[at].t == "SoftBreak") do at = at + 1 end
    local label, rest
    if math.t == "Math" and math.mathtype == "DisplayMath" and inlines[at] and inlines[at].t == "Str" then
      label, rest = inlines[at].text:match("^{#(eq%-[%w_-]+)}(.*)$")
    end
    if label then
      out:insert(pandoc.Span({ math, pandoc.Span("(" .. number(label) .. ")", { class = "number" }) }, { id = label, class = "equation" }))
      if rest ~= "" then out:insert(pandoc.Str(rest)) end
      i = at + 1
    else
      out:insert(math)
      i = i + 1
    end
  end
  return out
end

local function caption(block)
  if kind(block.identifier) and block.caption.long[1] then
    local label = pandoc.Span(NAMES[kind(block.identifier)] .. " " .. number(block.identifier) .. ": ", { class = "label" })
    block.caption.long[1].content:insert(1, label)
  end
  return block
end

-- The alternative text is what `fig-alt` says. For a figure that says nothing, pandoc would repeat the caption.
local function image(img)
  img.attributes.alt, img.attributes["fig-alt"] = img.attributes["fig-alt"], nil
  return img
end

local function figure(block)
  return caption(block:walk { Image = function(img)
    img.attributes.alt = img.attributes.alt or ""
    return img
  end })
end

local function section(header)
  if kind(header.identifier) == "sec" then
    targets[header.identifier] = { name = "Section", text = "“" .. pandoc.utils.stringify(header.content) .. "”" }
  end
end

-- `@eq-x`, `[-@fig-x]`, also among citations of papers, which are left to citeproc
local function reference(cite)
  local out, papers = pandoc.Inlines {}, pandoc.List {}
  for _, c in ipairs(cite.citations) do
    local to = targets[c.id]
    if not kind(c.id) then
      papers:insert(c)
    else
      if #out > 0 then out:insert(pandoc.Str(", ")) end
      local text = to and (c.mode == "SuppressAuthor" and to.text or to.name .. " " .. to.text)
      out:extend(c.prefix)
      out:insert(to and pandoc.Link(text, "#" .. c.id, "", { class = "reference" }) or pandoc.Span("@" .. c.id, { class = "unresolved" }))
      out:extend(c.suffix)
    end
  end
  if #out == 0 then return nil end
  if #papers > 0 then out:extend { pandoc.Space(), pandoc.Cite({}, papers) } end
  return out
end

-- `::: {.callout-note title="…" collapse="true"}`
local function callout(div)
  local what = div.classes:find_if(function(c) return c:match("^callout%-%a+$") end)
  if not what then return nil end
  local title = div.attributes.title or what:match("%-(%a+)"):gsub("^%l", string.upper)
  if div.content[1] and div.content[1].t == "Header" then
    title = pandoc.utils.stringify(div.content:remove(1).content)
  end
  div.content:insert(1, pandoc.Div(pandoc.Para(title), { class = "callout-title" }))
  div.attributes.title = nil
  div.classes:insert("callout")
  return div
end

return {
  { Inlines = equations, Image = image, Figure = figure, Table = caption, Header = section, Div = callout },
  { Cite = reference },
}
