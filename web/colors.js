import { app } from "../../scripts/app.js"

// Links and slots of PERCEPTION in a color that no type of ComfyUI has. A palette of the user's may choose another.
const TYPE = "PERCEPTION"
const COLOR = "#2EC4B6"

// The front end empties, each time it loads a palette, the colors of types that the palette does not name.
function keepColor(colors) {
  let chosen = colors[TYPE]
  Object.defineProperty(colors, TYPE, {
    get: () => chosen || COLOR,
    set: (value) => { chosen = value },
    configurable: true,
    enumerable: true,
  })
}

app.registerExtension({
  name: "perceptionclip.colors",
  setup() {
    // Nodes drawn by Vue take the color from here; a palette that names the type goes before it.
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(`:root { --color-datatype-${TYPE}: ${COLOR} }`)
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
    keepColor(app.canvas.constructor.link_type_colors)
    keepColor(app.canvas.default_connection_color_byType)
  },
})
