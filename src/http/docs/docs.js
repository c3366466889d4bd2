// Draws the page from /openapi.json. Text only ever becomes text nodes.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// The little Markdown that descriptions use: paragraphs, lists, `code`.
function prose(text) {
  return (text ?? "").split(/\n\s*\n/).filter((block) => block.trim()).map((block) => {
    const lines = block.split("\n");
    if (lines.every((line) => !line.trim() || line.startsWith("- "))) {
      const items = lines.filter((line) => line.trim()).map((line) => element("li", {}, ...inline(line.slice(2))));
      return element("ul", {}, ...items);
    }
    return element("p", {}, ...inline(block));
  });
}

function inline(text) {
  return text.split("`").map((part, place) => (place % 2 ? element("code", {}, part) : part));
}

function resolve(api, schema) {
  if (!schema?.$ref) return { schema: schema ?? {}, name: null };
  const name = schema.$ref.split("/").pop();
  return { schema: api.components.schemas[name] ?? {}, name };
}

// One word or link for the type of a schema.
function typeOf(api, schema) {
  const { name } = resolve(api, schema);
  if (name) return [element("a", { href: `#schema-${name}` }, name)];
  const either = schema.oneOf ?? schema.anyOf;
  if (either) return either.flatMap((one, place) => (place ? [" or ", ...typeOf(api, one)] : typeOf(api, one)));
  if (schema.allOf) return schema.allOf.flatMap((one, place) => (place ? [" and ", ...typeOf(api, one)] : typeOf(api, one)));
  if (schema.items) return ["list of ", ...typeOf(api, schema.items)];
  const words = [].concat(schema.type ?? "any").join(" or ");
  return [schema.format ? `${words} (${schema.format})` : words];
}

function members(schema, api) {
  const { schema: found } = resolve(api, schema);
  const parts = (found.allOf ?? []).map((part) => members(part, api));
  const properties = Object.assign({}, ...parts.map((part) => part.properties), found.properties);
  const required = [...parts.flatMap((part) => part.required), ...(found.required ?? [])];
  return { properties, required };
}

function fieldTable(api, schema) {
  const { properties, required } = members(schema, api);
  const rows = Object.entries(properties).map(([name, field]) => element("tr", {},
    element("td", {}, element("code", required.includes(name) ? { class: "required" } : {}, name)),
    element("td", {}, ...typeOf(api, field)),
    element("td", {}, ...prose(field.description))));
  if (!rows.length) return [];
  const head = element("tr", {}, element("th", {}, "Field"), element("th", {}, "Type"), element("th", {}, "Meaning"));
  return [element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))];
}

// An example made from the examples of the fields.
function example(api, given, depth = 0) {
  const { schema } = resolve(api, given);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (depth > 6) return null;
  const either = schema.oneOf ?? schema.anyOf;
  if (either) return example(api, either.find((one) => one.type !== "null") ?? either[0], depth + 1);
  const type = [].concat(schema.type ?? "")[0];
  if (type === "array") return [example(api, schema.items, depth + 1)];
  const { properties } = members(schema, api);
  if (type === "object" || Object.keys(properties).length) {
    return Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, example(api, field, depth + 1)]));
  }
  if ([].concat(schema.type ?? []).includes("null")) return null;
  return { string: "…", integer: 1, number: 1, boolean: true }[type] ?? null;
}

function body(api, title, content) {
  return Object.entries(content ?? {}).flatMap(([kind, { schema }]) => {
    if (!schema) return [];
    const text = JSON.stringify(example(api, schema), null, 2);
    return [
      element("h4", {}, `${title} `, element("span", { class: "soft" }, kind, " · "), ...typeOf(api, schema)),
      ...fieldTable(api, schema),
      element("pre", { tabindex: "0" }, element("code", {}, text)),
    ];
  });
}

function parameters(api, list) {
  if (!list?.length) return [];
  const rows = list.map((one) => element("tr", {},
    element("td", {}, element("code", one.required ? { class: "required" } : {}, one.name)),
    element("td", {}, one.in, ", ", ...typeOf(api, one.schema ?? {})),
    element("td", {}, ...prose(one.description))));
  return [element("h4", {}, "Parameters"), element("table", {}, element("tbody", {}, ...rows))];
}

function responses(api, all) {
  const rows = Object.entries(all).map(([status, one]) => element("tr", {},
    element("td", {}, element("code", {}, status)),
    element("td", {}, ...prose(one.description)),
    element("td", {}, ...Object.values(one.content ?? {}).slice(0, 1).flatMap(({ schema }) => (schema ? typeOf(api, schema) : [])))));
  const good = Object.entries(all).find(([status, one]) => status.startsWith("2") && one.content);
  return [
    element("h4", {}, "Answers"),
    element("table", {}, element("tbody", {}, ...rows)),
    ...(good ? body(api, `Example ${good[0]}`, good[1].content) : []),
  ];
}

function operation(api, path, method, one) {
  const id = `${method}-${path}`.replace(/[^a-z0-9]+/gi, "-");
  const open = Array.isArray(one.security) && one.security.every((way) => !Object.keys(way).length);
  const section = element("section", { id },
    element("h3", {}, element("span", { class: `method ${method}` }, method.toUpperCase()), " ", element("code", {}, path)),
    element("p", {}, element("strong", {}, one.summary ?? ""), open ? " (no credential needed)" : ""),
    ...prose(one.description),
    ...parameters(api, one.parameters),
    ...body(api, "Body", one.requestBody?.content),
    ...responses(api, one.responses));
  const link = element("li", {}, element("a", { href: `#${id}` },
    element("span", { class: `method ${method}` }, method.toUpperCase()), path));
  return { section, link, words: `${method} ${path} ${JSON.stringify(one)}`.toLowerCase() };
}

function schemaSection(api, name, schema) {
  const id = `schema-${name}`;
  const section = element("section", { id },
    element("h3", {}, element("code", {}, name)),
    ...prose(schema.description),
    ...fieldTable(api, schema),
    element("pre", { tabindex: "0" }, element("code", {}, JSON.stringify(example(api, schema), null, 2))));
  const link = element("li", {}, element("a", { href: `#${id}` }, name));
  return { section, link, words: `${name} ${JSON.stringify(schema)}`.toLowerCase() };
}

function draw(api) {
  const main = document.getElementById("main");
  const contents = document.getElementById("contents");
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const group = item[method].tags?.[0] ?? "Other";
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(operation(api, path, method, item[method]));
    }
  }
  const schemas = Object.entries(api.components?.schemas ?? {}).map(([name, schema]) => schemaSection(api, name, schema));
  groups.set("Schemas", schemas);

  const intro = element("section", {}, element("h2", {}, `${api.info.title} ${api.info.version}`), ...prose(api.info.description));
  main.replaceChildren(intro);
  const drawn = [...groups].map(([name, entries]) => {
    const heading = element("h2", { class: "group" }, name);
    const title = element("h2", {}, name);
    main.append(heading, ...entries.map((entry) => entry.section));
    contents.append(title, element("ul", {}, ...entries.map((entry) => entry.link)));
    return { heading, title, entries };
  });
  const nothing = element("p", { role: "status", hidden: "" }, "Nothing matches.");
  main.append(nothing);
  search(intro, drawn, nothing);
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

function search(intro, drawn, nothing) {
  const box = document.getElementById("search");
  const apply = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matches = 0;
    for (const { heading, title, entries } of drawn) {
      let within = 0;
      for (const { section, link, words: text } of entries) {
        const found = words.every((word) => text.includes(word));
        section.hidden = link.hidden = !found;
        if (found) within += 1;
      }
      heading.hidden = title.hidden = !within;
      matches += within;
    }
    intro.hidden = words.length > 0;
    nothing.hidden = matches > 0;
  };
  box.addEventListener("input", apply);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== box) {
      event.preventDefault();
      box.focus();
    }
  });
  apply();
}

fetch("/openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(draw)
  .catch((error) => {
    document.getElementById("state").textContent = `The description could not be loaded: ${error.message}`;
  });
