import { app } from "../../scripts/app.js"

// Keep the message of a node on it after the run; ComfyUI removes its own texts when the run ends.
const NODES = "PerceptionClip_"
const NAME = "note"
const LEAST_HEIGHT = 60 // graph units: three lines

function addNote(node) {
  const field = document.createElement("textarea")
  field.className = "comfy-multiline-input"
  field.readOnly = true
  // With a type that the front end does not know, nodes drawn by Vue show this element instead of their own.
  const note = node.addDOMWidget(NAME, "perception_note", field, {
    serialize: false, // not in a prompt
    getMinHeight: () => LEAST_HEIGHT,
    getValue: () => field.value,
    setValue: (text) => { field.value = text },
  })
  note.serialize = false // and not in a workflow
  const picture = node.widgets.findIndex((widget) => widget.name.startsWith("$$"))
  if (picture >= 0) node.widgets.splice(picture, 0, node.widgets.pop()) // above an existing preview
  const [width, height] = node.computeSize()
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)])
  return note
}

app.registerExtension({
  name: "perceptionclip.notes",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith(NODES)) return
    const executed = nodeType.prototype.onExecuted
    nodeType.prototype.onExecuted = function (message) {
      executed?.apply(this, arguments)
      const lines = message.note ?? message.text
      if (!lines) return
      const note = this.widgets?.find((widget) => widget.name === NAME) ?? addNote(this)
      note.value = lines.join("\n")
      app.canvas.setDirty(true)
    }
  },
})
