import { app } from "../../scripts/app.js"

// Draw links and slots of PERCEPTION in a color that no ComfyUI type has. A user's palette may set another color.
const TYPE = "PERCEPTION"
const COLOR = "#2EC4B6"

// Each time the front end loads a palette, it clears the colors of types that the palette does not name.
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
    // Nodes drawn by Vue read the color from here; a palette that names the type takes precedence.
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(`:root { --color-datatype-${TYPE}: ${COLOR} }`)
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
    keepColor(app.canvas.constructor.link_type_colors)
    keepColor(app.canvas.default_connection_color_byType)
  },
})
