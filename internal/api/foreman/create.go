package foreman

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/search"
)

// defaultTimeout is how long a host's script may run when nobody says.
const defaultTimeout = time.Hour

// errTemplate is E8.
func errTemplate(id string) error {
	return refuse(http.StatusNotFound, withMessage("Template with id '"+clipRunes(id, maxDescription)+"' was not found"))
}

// errCreate is E17, with all that is wrong.
func errCreate(parts []string) error {
	return refuse(http.StatusUnprocessableEntity, fields{"error": fields{
		"message": "Validation failed: " + strings.Join(parts, ", "), "full_messages": parts}})
}

// work is what a job does: a template, and the feature through which it was
// asked for.
type work struct {
	dispatch.TemplateView
	feature int64
	forced  bool // a feature makes the targeting static
}

// readWork finds the template of "job_template_id" or "feature".
func (s *server) readWork(c *call, in object) (w work, err error) {
	byID, byFeature := in.get("job_template_id"), in.get("feature")
	if !byID.blank() && !byFeature.blank() {
		return w, unprocessable("Only one of feature or job_template_id can be specified")
	}
	if n, _, err := in.get("remote_execution_feature_id").integer(); err == nil && n > 0 {
		w.feature = n
	}
	id, err := byID.text()
	if err != nil {
		return w, err
	}
	n, ok := number(strings.TrimSpace(id))
	if !byFeature.blank() {
		label, err := byFeature.text()
		if err != nil {
			return w, err
		}
		f, err := s.Dispatch.Feature(c.ctx(), c.who, label)
		if job.CodeOf(err) == job.NotFound || err == nil && f.TemplateID == 0 {
			return w, errTemplate("")
		}
		if err != nil {
			return w, err
		}
		n, ok, w.feature, w.forced = f.TemplateID, true, f.ID, true
	}
	if !ok {
		return w, errTemplate(id)
	}
	w.TemplateView, err = s.Dispatch.Template(c.ctx(), c.who, n)
	if job.CodeOf(err) == job.NotFound || err == nil && w.Snippet {
		return w, errTemplate(id)
	}
	return w, err
}

// readInputs reads the values of inputs. A name that is no input is refused
// at once; a value that is no text is told with the other problems.
func readInputs(v value, t dispatch.TemplateView) (given map[string]*string, wrong []string, err error) {
	o, err := v.object()
	if err != nil {
		return nil, nil, err
	}
	given = map[string]*string{}
	known := map[string]bool{}
	for _, in := range t.Effective {
		known[in.Name] = true
	}
	for _, name := range o.keys {
		if !known[name] {
			return nil, nil, unprocessable("%s", erf("Unknown input %s for template %s", clipRunes(name, maxDescription), t.Name))
		}
		v := o.get(name)
		text, err := v.text()
		switch {
		case err != nil:
			wrong = append(wrong, inputProblem(t.Name, name, "Value must be a string"))
		case !v.null():
			given[name] = &text
			continue
		}
		given[name] = nil
	}
	return given, wrong, nil
}

// checkable are inputs whose values can be checked here: the default of a hidden
// one is not told, and was checked when it was saved.
func checkable(inputs []job.Input, given map[string]*string) []job.Input {
	out := slices.Clone(inputs)
	for i, in := range out {
		if _, ok := given[in.Name]; in.Hidden && !ok {
			out[i].Options = nil
		}
	}
	return out
}

// human is how a name stands in front of a message.
func human(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", " ")) }

func inputProblem(template, input, message string) string {
	return "Template " + human(template) + ": Input " + human(input) + ": " + message
}

// inputProblems are what is wrong with values, in upstream's words.
func inputProblems(template string, ps []job.InputProblem) (wrong []string) {
	var missing []string
	for _, p := range ps {
		if p.What == job.InputMissing {
			missing = append(missing, p.Input)
		}
	}
	if missing != nil {
		wrong = append(wrong, "Template "+human(template)+": Not all required inputs have values. Missing inputs: "+strings.Join(missing, ", "))
	}
	for _, p := range ps {
		switch p.What {
		case job.InputBlank:
			wrong = append(wrong, inputProblem(template, p.Input, "Value can't be blank"))
		case job.InputNoOption:
			wrong = append(wrong, inputProblem(template, p.Input, "Value is not included in the list"))
		}
	}
	return wrong
}

// creation is a request for a job while it is read.
type creation struct {
	in    object
	work  work
	extra runExtra
	sub   dispatch.Submission
	wrong []string // about the job itself
}

// submission reads the body of a create, in the order in which upstream checks it.
func (s *server) submission(c *call, in object) (dispatch.Submission, error) {
	w, err := s.readWork(c, in)
	if err != nil {
		return dispatch.Submission{}, err
	}
	given, wrongInputs, err := readInputs(in.get("inputs"), w.TemplateView)
	if err != nil {
		return dispatch.Submission{}, err
	}
	targets, err := s.readTargeting(c, in)
	if err != nil {
		return dispatch.Submission{}, err
	}
	when, wrong, err := readTrigger(in, s.Clock())
	if err != nil {
		return dispatch.Submission{}, err
	}
	if len(wrong) > 0 {
		return dispatch.Submission{}, errCreate([]string{"Triggering: " + strings.Join(wrong, ", ")})
	}
	q := creation{in: in, work: w}
	if wrong, err = q.targets(targets); err != nil {
		return q.sub, err
	}
	if err := q.scalars(); err != nil {
		return q.sub, err
	}
	if err := q.login(c.who.Name, s.EffectiveUser); err != nil {
		return q.sub, err
	}
	wrong = append(wrong, q.wrong...)
	values, problems := job.FillInputs(checkable(w.Effective, given), given)
	if wrongInputs != nil {
		problems = nil // those values were not read
	}
	wrong = append(wrong, append(wrongInputs, inputProblems(w.Name, problems)...)...)
	if len(wrong) > 0 {
		return q.sub, errCreate(wrong)
	}
	q.sub.TemplateID, q.sub.Inputs = w.ID, given
	q.sub.Schedule, q.sub.Purpose, q.sub.StartBefore = when.recurrence, when.purpose, when.tooLate()
	q.extra.Mode, q.extra.Purpose, q.extra.StartBefore = when.mode, when.purpose, when.startBefore
	q.extra.Category, q.extra.Feature = w.Category, w.feature
	format, err := in.get("description_format").text()
	if err != nil {
		return q.sub, err
	}
	q.sub.Description = describeJob(format, w.Template, w.Effective, values)
	q.sub.Space, q.sub.Trigger = space, job.TriggerAPI
	return q.sub, s.finish(c, &q)
}

// finish adds who asks and what is kept for answers.
func (s *server) finish(c *call, q *creation) (err error) {
	if q.extra.User, err = s.userID(c); err != nil {
		return err
	}
	q.extra.Location, _ = number(c.text("location_id"))
	q.extra.Organization, _ = number(c.text("organization_id"))
	q.sub.Extra, err = q.extra.asExtra()
	return err
}

// userID returns the id of the caller; 0 when it is at home in another tenant.
func (s *server) userID(c *call) (int64, error) {
	u, err := s.Dispatch.User(c.ctx(), c.who, c.who.Name)
	if job.CodeOf(err) == job.NotFound {
		return 0, nil
	}
	return u.ID, err
}

// targets takes the targeting.
func (q *creation) targets(t targeting) (wrong []string, err error) {
	kind, err := q.in.get("targeting_type").text()
	if err != nil {
		return nil, err
	}
	if q.work.forced {
		kind = staticQuery
	}
	problems := t.problems(kind)
	shuffle, given, err := q.in.get("randomized_ordering").boolean()
	if err != nil {
		problems = append(problems, "Randomized ordering must be true or false")
	}
	if problems != nil {
		wrong = append(wrong, "Targeting: "+strings.Join(problems, ", "))
	}
	if given {
		q.extra.Randomized = &shuffle
	}
	q.extra.Targeting = kind
	q.sub.Select = t.selection(kind, shuffle)
	if t.bookmark != nil {
		q.extra.Bookmark, q.extra.BookmarkName = t.bookmark.ID, t.bookmark.Title
	}
	switch {
	case q.sub.Select.SavedQueryID != 0:
	case t.bookmark != nil:
		q.extra.keepQuery(t.bookmark.Query)
	default:
		q.extra.keepQuery(t.query)
	}
	if t.ids != nil {
		q.extra.ByHosts = byHostIDs
	}
	return wrong, nil
}

// maxConcurrency is what a greater level is taken for: no run works on more
// units.
const maxConcurrency = job.MaxUnits

// scalars takes the limits.
func (q *creation) scalars() error {
	control, err := q.in.get("concurrency_control").object()
	if err != nil {
		return err
	}
	if v := control.get("concurrency_level"); !v.blank() {
		s, err := v.text()
		if err != nil {
			return err
		}
		n := leadingInt(s)
		if n <= 0 {
			q.wrong = append(q.wrong, "Concurrency level: must be greater than 0")
		}
		n = min(n, 1<<53)
		q.extra.Concurrency, q.sub.Concurrency = &n, int(min(n, maxConcurrency))
	}
	limit, given, err := q.in.get("execution_timeout_interval").integer()
	switch {
	case err != nil || given && limit <= 0:
		q.wrong = append(q.wrong, "Execution timeout interval: must be greater than 0")
	case given && limit > maxSeconds:
		q.wrong = append(q.wrong, "Execution timeout interval: must be at most "+strconv.FormatInt(maxSeconds, 10))
	case given:
		q.extra.Timeout, q.sub.Timeout = &limit, time.Duration(limit)*time.Second
	case q.work.Limits.Timeout > 0:
		limit = int64(q.work.Limits.Timeout / time.Second)
		q.extra.Timeout = &limit
	}
	q.sub.DefaultTimeout = defaultTimeout
	if v := q.in.get("stop_after"); !v.blank() {
		if q.sub.StopAfter, err = stopAfter(v); err != nil {
			q.wrong = append(q.wrong, "Stop after: "+job.MessageOf(err))
		}
	}
	pickup, given, err := q.in.get("time_to_pickup").integer()
	switch {
	case err != nil || given && pickup < 0:
		q.wrong = append(q.wrong, "Time to pickup: is not a number")
	case given:
		q.extra.TimeToPickup = &pickup
	}
	return nil
}

// maxSeconds is the longest time limit of a host, as of a template.
const maxSeconds = int64(maxInterval / time.Second)

// login takes who logs in and who the script runs as.
func (q *creation) login(caller, setting string) error {
	o, err := q.in.get("ssh").object()
	if err != nil {
		return err
	}
	user, err := o.get("effective_user").text()
	if err != nil {
		return err
	}
	q.extra.EffectiveUser = effectiveUser(q.work.Template, user, caller, setting)
	q.sub.Become = &job.Become{User: q.extra.EffectiveUser, Method: q.work.Become.Method}
	if q.sub.Become.User == "" {
		q.sub.Become.Method = ""
	} else if q.sub.Become.Method == "" {
		q.sub.Become.Method = job.BecomeSudo
	}
	var l dispatch.Login
	for _, f := range []struct {
		v  value
		to *job.Secret
	}{{q.in.get("password"), &l.Password}, {q.in.get("key_passphrase"), &l.Passphrase}, {o.get("effective_user_password"), &l.BecomePassword}} {
		s, err := f.v.text()
		if err != nil {
			return err
		}
		*f.to = job.Secret(s)
	}
	if l.Username, err = q.in.get("ssh_user").text(); err != nil {
		return err
	}
	l.Username = strings.TrimSpace(l.Username)
	if l.Username != "" {
		q.extra.SSHUser = &l.Username
	}
	if l != (dispatch.Login{}) {
		q.sub.Login = &l
	}
	return nil
}

// effectiveUser is who a script runs as, "" for the user that logs in.
func effectiveUser(t job.Template, given, caller, setting string) string {
	given = strings.TrimSpace(given)
	switch {
	case !t.BecomeFixed && given != "":
		return given
	case t.BecomeCaller:
		return caller
	case t.Become.User != "":
		return t.Become.User
	case setting == NoEffectiveUser:
		return ""
	}
	return setting
}

// submitError turns what Submit refuses into upstream's words.
func submitError(err error, sub dispatch.Submission) error {
	var e *job.Error
	var query *search.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == job.AlreadyExists && e.Field == "purpose":
		return errCreate([]string{"Triggering: Purpose Active or disabled recurring logic with purpose " + sub.Purpose + " already exists"})
	case errors.As(err, &query):
		return err
	case e.Code == job.Invalid && e.Field == "search":
		return errSearch("The query " + e.Message)
	case e.Code == job.Invalid && e.Field == "schedule":
		return errCreate([]string{"Triggering: " + msgCannotStart})
	case e.Code == job.Invalid && e.Field != "":
		return errCreate([]string{title(fieldWords(e.Field)) + ": " + e.Message})
	}
	return err
}

// ourFields are fields of a submission in upstream's words.
var ourFields = map[string]string{
	"timeout": "execution_timeout_interval", "concurrency": "concurrency_level", "become.user": "effective_user", "become_user": "effective_user",
	"login.username": "ssh_user", "login.password": "password", "login.passphrase": "key_passphrase", "login.become_password": "effective_user_password",
	"start_before": "start_before", "cron": "cronline",
}

func fieldWords(field string) string {
	if ours, ok := ourFields[field]; ok {
		field = ours
	}
	return field
}
