import { app } from "../../scripts/app.js"

// What a node of this pack has to say of its run stays on the node: ComfyUI's own texts go when the run is over.
const NODES = "PerceptionClip_"
const NAME = "note"
const LEAST_HEIGHT = 60 // in the graph's units: three lines

function addNote(node) {
  const field = document.createElement("textarea")
  field.className = "comfy-multiline-input"
  field.readOnly = true
  // A type that the front end does not know: nodes drawn by Vue then show this element, not one of their own.
  const note = node.addDOMWidget(NAME, "perception_note", field, {
    serialize: false, // neither in a prompt
    getMinHeight: () => LEAST_HEIGHT,
    getValue: () => field.value,
    setValue: (text) => { field.value = text },
  })
  note.serialize = false // nor in a workflow
  const picture = node.widgets.findIndex((widget) => widget.name.startsWith("$$"))
  if (picture >= 0) node.widgets.splice(picture, 0, node.widgets.pop()) // above a preview that came before
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
      const said = message.note ?? message.text
      if (!said) return
      const note = this.widgets?.find((widget) => widget.name === NAME) ?? addNote(this)
      note.value = said.join("\n")
      app.canvas.setDirty(true)
    }
  },
})
