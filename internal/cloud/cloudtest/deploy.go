// Package cloudtest deploys the synthesised template, unmodified, into an
// emulator of AWS: what CDK's command would do with a bootstrapped account, done
// by hand. It knows AWS and nothing of Drover.
package cloudtest

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// The account and region of the emulators.
const (
	account = "000000000000"
	region  = "us-east-1"
)

// Deployment is a stack in an emulator.
type Deployment struct {
	Stack   string
	Outputs map[string]string
}

// Config returns the SDK's configuration for an emulator's root keys.
func Config(endpoint string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
}

// WithoutTLS takes back from the stack's buckets the policy that denies every
// request which does not come over TLS: the emulator speaks none, and enforces
// the policy. It is an error if there is no such policy.
func (d *Deployment) WithoutTLS(ctx context.Context, endpoint string) error {
	client := s3.NewFromConfig(Config(endpoint), func(o *s3.Options) { o.UsePathStyle = true })
	stack, err := cloudformation.NewFromConfig(Config(endpoint)).DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &d.Stack})
	if err != nil {
		return err
	}
	taken := 0
	for _, r := range stack.StackResources {
		if aws.ToString(r.ResourceType) != "AWS::S3::Bucket" {
			continue
		}
		policy, err := client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: r.PhysicalResourceId})
		if err != nil {
			return err
		}
		if !strings.Contains(aws.ToString(policy.Policy), "aws:SecureTransport") {
			continue
		}
		if _, err := client.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: r.PhysicalResourceId}); err != nil {
			return err
		}
		taken++
	}
	if taken == 0 {
		return fmt.Errorf("no bucket of the stack %s denies what does not come over TLS", d.Stack)
	}
	return nil
}

// GroupAsEmulated lets the stack's roles set their schedules in the emulator, which
// judges every schedule as one of the group "default": where a role may do something
// with the schedules of the stack's group, it may do so with those. It is an error if
// there is no such role.
func (d *Deployment) GroupAsEmulated(ctx context.Context, endpoint string) error {
	cfg := Config(endpoint)
	stack, err := cloudformation.NewFromConfig(cfg).DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &d.Stack})
	if err != nil {
		return err
	}
	iam := func(action string, more url.Values, tag string) (string, error) {
		more.Set("Action", action)
		b, err := Query(ctx, cfg, "iam", "2010-05-08", more)
		if err != nil || tag == "" {
			return "", err
		}
		m := regexp.MustCompile("(?s)<" + tag + ">(.*?)</" + tag + ">").FindSubmatch(b)
		if m == nil {
			return "", fmt.Errorf("%s: no %s in %s", action, tag, b)
		}
		return string(m[1]), nil
	}
	judged := strings.NewReplacer(":schedule/"+d.Stack+"/", ":schedule/default/")
	widened := 0
	for _, r := range stack.StackResources {
		if aws.ToString(r.ResourceType) != "AWS::IAM::Role" {
			continue
		}
		role := url.Values{"RoleName": {aws.ToString(r.PhysicalResourceId)}}
		policy, err := iam("ListRolePolicies", role, "member")
		if err != nil {
			return err
		}
		role.Set("PolicyName", policy)
		quoted, err := iam("GetRolePolicy", role, "PolicyDocument")
		if err != nil {
			return err
		}
		document, err := url.PathUnescape(quoted)
		if err != nil {
			return err
		}
		changed := judged.Replace(document)
		if changed == document {
			continue
		}
		role.Set("PolicyDocument", changed)
		if _, err := iam("PutRolePolicy", role, ""); err != nil {
			return err
		}
		widened++
	}
	if widened == 0 {
		return fmt.Errorf("no role of the stack %s sets schedules", d.Stack)
	}
	return nil
}

// Query calls a service whose client is not worth a dependency.
func Query(ctx context.Context, cfg aws.Config, service, version string, form url.Values) ([]byte, error) {
	form.Set("Version", version)
	body := form.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, *cfg.BaseEndpoint+"/", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, keys, r, hex.EncodeToString(sum[:]), service, cfg.Region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", form.Get("Action"), resp.Status, got)
	}
	return got, err
}

// Functions returns the names of the stack's functions by their ids in the
// template, less what CDK adds to those.
func (d *Deployment) Functions(ctx context.Context, endpoint string) (map[string]string, error) {
	stack, err := cloudformation.NewFromConfig(Config(endpoint)).DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &d.Stack})
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, r := range stack.StackResources {
		if id := aws.ToString(r.LogicalResourceId); aws.ToString(r.ResourceType) == "AWS::Lambda::Function" && len(id) > hashLength {
			names[id[:len(id)-hashLength]] = aws.ToString(r.PhysicalResourceId)
		}
	}
	return names, nil
}

// hashLength is the length of what CDK adds to an id.
const hashLength = 8

// manifest is CDK's list of assets.
type manifest struct {
	Files map[string]struct {
		Source struct {
			Path      string `json:"path"`
			Packaging string `json:"packaging"`
		} `json:"source"`
		Destinations map[string]struct {
			BucketName string `json:"bucketName"`
			ObjectKey  string `json:"objectKey"`
		} `json:"destinations"`
	} `json:"files"`
}

// Deploy uploads the assets of the cloud assembly in dir and creates its stack.
// It returns when the stack is complete, or with the reasons of what failed.
func Deploy(ctx context.Context, endpoint, dir, stack string, params map[string]string) (*Deployment, error) {
	template, err := upload(ctx, endpoint, dir, stack)
	if err != nil {
		return nil, err
	}
	// The template asks for this version of the bootstrap stack.
	_, err = ssm.NewFromConfig(Config(endpoint)).PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String("/cdk-bootstrap/hnb659fds/version"), Value: aws.String("30"), Type: ssmtypes.ParameterTypeString, Overwrite: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	in := &cloudformation.CreateStackInput{StackName: &stack, TemplateURL: &template, Capabilities: []types.Capability{types.CapabilityCapabilityIam}}
	if _, ok := params["SampleTraces"]; !ok { // the emulator has no X-Ray
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String("SampleTraces"), ParameterValue: aws.String("no")})
	}
	for k, v := range params {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(k), ParameterValue: aws.String(v)})
	}
	client := cloudformation.NewFromConfig(Config(endpoint))
	if _, err := client.CreateStack(ctx, in); err != nil {
		return nil, err
	}
	return wait(ctx, client, stack)
}

// wait asks until the stack is complete.
func wait(ctx context.Context, client *cloudformation.Client, stack string) (*Deployment, error) {
	for {
		out, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stack})
		if err != nil {
			return nil, err
		}
		switch s := out.Stacks[0]; {
		case s.StackStatus == types.StackStatusCreateComplete:
			d := &Deployment{Stack: stack, Outputs: map[string]string{}}
			for _, o := range s.Outputs {
				d.Outputs[*o.OutputKey] = *o.OutputValue
			}
			return d, nil
		case s.StackStatus != types.StackStatusCreateInProgress:
			return nil, fmt.Errorf("stack %s is %s: %s", stack, s.StackStatus, reasons(ctx, client, stack))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// reasons lists what failed in a stack.
func reasons(ctx context.Context, client *cloudformation.Client, stack string) string {
	out, err := client.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &stack})
	if err != nil {
		return err.Error()
	}
	var why []string
	for _, e := range out.StackEvents {
		if strings.HasSuffix(string(e.ResourceStatus), "FAILED") {
			why = append(why, aws.ToString(e.LogicalResourceId)+": "+aws.ToString(e.ResourceStatusReason))
		}
	}
	return strings.Join(why, "; ")
}

// upload puts every asset where the template expects it and returns the
// template's own URL.
func upload(ctx context.Context, endpoint, dir, stack string) (template string, err error) {
	b, err := os.ReadFile(filepath.Join(dir, stack+".assets.json"))
	if err != nil {
		return "", err
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return "", err
	}
	client := s3.NewFromConfig(Config(endpoint), func(o *s3.Options) { o.UsePathStyle = true })
	place := strings.NewReplacer("${AWS::AccountId}", account, "${AWS::Region}", region)
	for _, f := range m.Files {
		path := filepath.Join(dir, f.Source.Path)
		body, err := pack(path, f.Source.Packaging)
		if err != nil {
			return "", err
		}
		for _, d := range f.Destinations {
			bucket := place.Replace(d.BucketName)
			if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil && !strings.Contains(err.Error(), "BucketAlreadyOwnedByYou") {
				return "", err
			}
			if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(d.ObjectKey), Body: bytes.NewReader(body)}); err != nil {
				return "", err
			}
			if f.Source.Path == stack+".template.json" {
				template = endpoint + "/" + bucket + "/" + d.ObjectKey
			}
		}
	}
	if template == "" {
		return "", fmt.Errorf("the template is not among the assets in %s", dir)
	}
	return template, nil
}

// pack reads a file, or makes the zip of a folder, with the files' modes.
func pack(path, packaging string) ([]byte, error) {
	if packaging == "file" {
		return os.ReadFile(path)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h, err := zip.FileInfoHeader(info)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		h.Name, h.Method = filepath.ToSlash(rel), zip.Deflate
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}
