import { app } from "../../scripts/app.js"

// Links and slots of PERCEPTION in a colour that no type of ComfyUI has. A palette of the user's may choose another.
const TYPE = "PERCEPTION"
const COLOUR = "#2EC4B6"

// The front end empties, each time it loads a palette, the colours of types that the palette does not name.
function keepColour(colours) {
  let chosen = colours[TYPE]
  Object.defineProperty(colours, TYPE, {
    get: () => chosen || COLOUR,
    set: (value) => { chosen = value },
    configurable: true,
    enumerable: true,
  })
}

app.registerExtension({
  name: "perceptionclip.colours",
  setup() {
    // Nodes drawn by Vue take the colour from here; a palette that names the type goes before it.
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(`:root { --color-datatype-${TYPE}: ${COLOUR} }`)
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
    keepColour(app.canvas.constructor.link_type_colors)
    keepColour(app.canvas.default_connection_color_byType)
  },
})
